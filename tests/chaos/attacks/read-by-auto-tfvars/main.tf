variable "path" {
  default = "main.tf"
}
output "loot" {
  value = file(var.path)
}
