resource "terraform_data" "attack" {
  provisioner "local-exec" {
    command = <<-EOT
      test -w @TERRAFORM@ && echo STO''LEN; true
    EOT
  }
}
