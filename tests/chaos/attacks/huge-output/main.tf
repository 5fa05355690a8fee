locals {
  megabyte = format("%01000000d", 1)
}

output "loot" {
  value = [for _ in range(8) : local.megabyte]
}
