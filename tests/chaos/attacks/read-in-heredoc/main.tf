output "loot" {
  value = <<EOT
${file("@DATA@/seal_keys")}
EOT
}
