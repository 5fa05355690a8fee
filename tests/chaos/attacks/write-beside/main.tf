resource "terraform_data" "attack" {
  provisioner "local-exec" {
    command = <<-EOT
      echo evil > @DATA@/runs/77-1/module/main.tf; true
    EOT
  }
}
