output "loot" {
  value = jsondecode(filebase64("@DATA@/runs/77-1/module/terraform.tfstate") == "" ? "{}" : file("@DATA@/runs/77-1/module/terraform.tfstate"))
}
