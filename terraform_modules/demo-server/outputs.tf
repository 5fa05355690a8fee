output "server_id" {
  description = "服务器编号 / id of the server"
  value       = terraform_data.server.id
}
