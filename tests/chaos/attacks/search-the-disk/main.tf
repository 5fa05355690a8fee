resource "terraform_data" "attack" {
  provisioner "local-exec" {
    command = <<-EOT
      grep -rs CANA @DATA@ @DATA@/.. || true
    EOT
  }
}
