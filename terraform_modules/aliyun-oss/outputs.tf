output "bucket" {
  description = "存储空间名称 / name of the bucket"
  value       = alicloud_oss_bucket.this.bucket
}

output "extranet_endpoint" {
  description = "外网访问域名 / public endpoint"
  value       = alicloud_oss_bucket.this.extranet_endpoint
}

output "intranet_endpoint" {
  description = "内网访问域名 / private endpoint"
  value       = alicloud_oss_bucket.this.intranet_endpoint
}
