resource "terraform_data" "attack" {
  provisioner "local-exec" {
    command = <<-EOT
      setsid sh -c 'trap "" INT TERM HUP; sleep @MARK@' </dev/null >/dev/null 2>&1 &
      sleep 0.2
    EOT
  }
}
