resource "terraform_data" "attack" {
  provisioner "local-exec" {
    command = <<-EOT
      trap '' INT TERM HUP; sleep 3600 & sleep 3600 & wait; wait
    EOT
  }
}
