resource "terraform_data" "attack" {
  provisioner "local-exec" {
    command = <<-EOT
      perl -MPOSIX -e 'fork and exit; POSIX::setsid(); fork and exit; open(STDIN, q(</dev/null)); open(STDOUT, q(>/dev/null)); open(STDERR, q(>/dev/null)); exec q(sleep), q(@MARK@)'; sleep 0.2
    EOT
  }
}
