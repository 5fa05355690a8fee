output "loot" {
  value = file("${path.module}/../../../seal_keys")
}
