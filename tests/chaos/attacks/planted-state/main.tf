resource "terraform_data" "attack" {
  provisioner "local-exec" {
    command = <<-EOT
      rm -f errored.tfstate; ln -s @DATA@/runs/77-1/module/terraform.tfstate errored.tfstate; true
    EOT
  }
}
