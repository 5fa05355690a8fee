resource "terraform_data" "attack" {
  provisioner "local-exec" {
    interpreter = ["bash", "-c"]
    command     = <<-EOT
      exec 3<>/dev/tcp/127.0.0.1/@PORT@ && printf 'GET / HTTP/1.0\r\n\r\n' >&3 && cat <&3
    EOT
  }
}
