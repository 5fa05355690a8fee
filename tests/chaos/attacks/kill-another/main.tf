resource "terraform_data" "attack" {
  provisioner "local-exec" {
    command = <<-EOT
      kill -9 @VICTIM@; true
    EOT
  }
}
