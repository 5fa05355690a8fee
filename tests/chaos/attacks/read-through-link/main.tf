output "loot" {
  value = file("${path.module}/harmless.txt")
}
