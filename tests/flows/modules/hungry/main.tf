variable "name" {
  type        = string
  description = "Any name"
}

locals {
  thousand = [for number in range(1000) : "${var.name}-${number}-${join("", [for _ in range(100) : "x"])}"]
  million  = [for pair in setproduct(local.thousand, local.thousand) : join("", pair)]
}

resource "terraform_data" "heap" {
  input = length(local.million)
}
