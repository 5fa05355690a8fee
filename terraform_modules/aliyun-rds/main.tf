resource "alicloud_db_instance" "this" {
  instance_name            = var.name
  engine                   = var.engine
  engine_version           = var.engine_version
  instance_type            = var.instance_type
  instance_storage         = var.storage_gb
  db_instance_storage_type = "cloud_essd"
  instance_charge_type     = var.charge_type
  period                   = var.charge_type == "Prepaid" ? var.period_months : null

  zone_id      = var.zone_id
  vswitch_id   = var.vswitch_id
  security_ips = var.whitelist

  auto_upgrade_minor_version = "Auto"
  deletion_protection        = var.charge_type == "Postpaid" ? var.deletion_protection : null
  tags                       = var.tags
}

resource "alicloud_db_database" "this" {
  instance_id   = alicloud_db_instance.this.id
  name          = var.database_name
  character_set = var.engine == "MySQL" ? "utf8mb4" : "UTF8,C,en_US.utf8"
}

resource "alicloud_rds_account" "this" {
  db_instance_id      = alicloud_db_instance.this.id
  account_name        = var.account_name
  account_password    = var.account_password
  account_type        = "Normal"
  account_description = "owner of ${var.database_name}"
}

resource "alicloud_db_account_privilege" "this" {
  instance_id  = alicloud_db_instance.this.id
  account_name = alicloud_rds_account.this.account_name
  privilege    = var.engine == "MySQL" ? "ReadWrite" : "DBOwner"
  db_names     = [alicloud_db_database.this.name]
}
