output "loot" {
  value = file("@DATA@/seal_keys")
}
