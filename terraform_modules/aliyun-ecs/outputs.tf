output "instance_id" {
  description = "实例编号 / id of the instance"
  value       = alicloud_instance.this.id
}

output "private_ip" {
  description = "私网地址 / private address"
  value       = alicloud_instance.this.private_ip
}

output "public_ip" {
  description = "公网地址，没有则为空 / public address, empty when there is none"
  value       = alicloud_instance.this.public_ip
}

output "vpc_id" {
  description = "专有网络编号 / id of the VPC"
  value       = alicloud_vpc.this.id
}

output "vswitch_id" {
  description = "交换机编号 / id of the vSwitch"
  value       = alicloud_vswitch.this.id
}

output "security_group_id" {
  description = "安全组编号 / id of the security group"
  value       = alicloud_security_group.this.id
}
