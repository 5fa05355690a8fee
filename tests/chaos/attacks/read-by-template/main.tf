output "loot" {
  value = templatefile("@DATA@/seal_keys", {})
}
