locals {
  evil = {
    "$(touch pwned)"           = "`touch pwned`"
    "; touch pwned #"          = "'; touch pwned; '"
    "$${file(\"main.tf\")}"    = "%%{if true}x%%{endif}"
    "-destroy\n&& touch pwned" = "| touch pwned \u001b[2J\u0000"
  }
}

resource "terraform_data" "attack" {
  for_each         = local.evil
  input            = each.value
  triggers_replace = each.key
}

output "said" {
  value = local.evil
}
