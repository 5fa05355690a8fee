output "loot" {
  value = fileset("@DATA@", "**")
}
