module "x" {
  source = "./${"../"}x"
}
