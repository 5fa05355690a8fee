resource "terraform_data" "attack" {
  provisioner "local-exec" {
    command = <<-EOT
      cat /proc/sys/kernel/core_pattern > was && cat was > /proc/sys/kernel/core_pattern && echo STO''LEN; test -w /proc/sysrq-trigger && echo STO''LEN; true
    EOT
  }
}
