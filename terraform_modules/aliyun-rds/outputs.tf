output "instance_id" {
  description = "实例编号 / id of the instance"
  value       = alicloud_db_instance.this.id
}

output "connection_string" {
  description = "内网连接地址 / private address to connect to"
  value       = alicloud_db_instance.this.connection_string
}

output "port" {
  description = "端口 / port"
  value       = alicloud_db_instance.this.port
}

output "database_name" {
  description = "数据库名 / name of the database"
  value       = alicloud_db_database.this.name
}

output "account_name" {
  description = "账号 / name of the account"
  value       = alicloud_rds_account.this.account_name
}

output "jdbc_url" {
  description = "带账号密码的连接串 / connection string with account and password"
  value       = "jdbc:${lower(var.engine)}://${alicloud_db_instance.this.connection_string}:${alicloud_db_instance.this.port}/${alicloud_db_database.this.name}?user=${alicloud_rds_account.this.account_name}&password=${urlencode(var.account_password)}"
  sensitive   = true
}
