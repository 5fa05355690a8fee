module "above" {
  source = "../../../planted"
}
output "loot" {
  value = module.above.loot
}
