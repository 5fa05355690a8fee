output "server_ids" {
  description = "所有服务器的编号 / ids of all servers"
  value       = terraform_data.server[*].id
}
