data "alicloud_images" "chosen" {
  owners      = "system"
  name_regex  = var.image_name_regex
  most_recent = true
}

resource "alicloud_vpc" "this" {
  vpc_name   = var.name
  cidr_block = var.vpc_cidr
  tags       = var.tags
}

resource "alicloud_vswitch" "this" {
  vswitch_name = var.name
  vpc_id       = alicloud_vpc.this.id
  zone_id      = var.zone_id
  cidr_block   = cidrsubnet(var.vpc_cidr, 8, 0)
  tags         = var.tags
}

resource "alicloud_security_group" "this" {
  security_group_name = var.name
  vpc_id              = alicloud_vpc.this.id
  inner_access_policy = "Drop"
  tags                = var.tags
}

resource "alicloud_security_group_rule" "ingress" {
  for_each = { for rule in var.ingress : "${rule.protocol}-${rule.port_range}-${rule.cidr}" => rule }

  type              = "ingress"
  policy            = "accept"
  nic_type          = "intranet"
  priority          = 1
  security_group_id = alicloud_security_group.this.id
  ip_protocol       = each.value.protocol
  port_range        = each.value.port_range
  cidr_ip           = each.value.cidr
  description       = each.value.description
}

resource "alicloud_instance" "this" {
  instance_name   = var.name
  host_name       = var.name
  instance_type   = var.instance_type
  image_id        = data.alicloud_images.chosen.images[0].id
  vswitch_id      = alicloud_vswitch.this.id
  security_groups = [alicloud_security_group.this.id]
  key_name        = var.key_pair_name

  system_disk_category  = var.system_disk.category
  system_disk_size      = var.system_disk.size
  system_disk_encrypted = var.system_disk.encrypted

  dynamic "data_disks" {
    for_each = var.data_disks

    content {
      name                 = data_disks.value.name
      category             = data_disks.value.category
      size                 = data_disks.value.size
      encrypted            = data_disks.value.encrypted
      delete_with_instance = data_disks.value.delete_with_instance
    }
  }

  internet_charge_type       = "PayByTraffic"
  internet_max_bandwidth_out = var.public_bandwidth

  instance_charge_type = var.charge_type
  period_unit          = var.charge_type == "PrePaid" ? "Month" : null
  period               = var.charge_type == "PrePaid" ? var.period_months : null
  renewal_status       = var.charge_type == "PrePaid" ? "Normal" : null

  http_tokens         = "required"
  deletion_protection = var.deletion_protection
  tags                = var.tags
  volume_tags         = var.tags

  lifecycle {
    # A newer image of the same family must not rebuild a server that is in use.
    ignore_changes = [image_id]
  }
}
