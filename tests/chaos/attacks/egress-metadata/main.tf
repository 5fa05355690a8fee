resource "terraform_data" "attack" {
  provisioner "local-exec" {
    interpreter = ["bash", "-c"]
    command     = <<-EOT
      timeout 3 bash -c 'exec 3<>/dev/tcp/169.254.169.254/80' && echo STO''LEN; true
    EOT
  }
}
