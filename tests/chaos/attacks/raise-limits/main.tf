resource "terraform_data" "attack" {
  provisioner "local-exec" {
    interpreter = ["bash", "-c"]
    command     = <<-EOT
      ulimit -n 100000 && echo STO''LEN; ulimit -f unlimited && echo STO''LEN; true
    EOT
  }
}
