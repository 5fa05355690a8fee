# The region and the credentials belong to the environment (ALICLOUD_REGION, ALICLOUD_ACCESS_KEY, ALICLOUD_SECRET_KEY),
# so the module holds no provider block.
terraform {
  required_version = ">= 1.4"

  required_providers {
    alicloud = {
      source  = "aliyun/alicloud"
      version = ">= 1.239.0, < 2.0.0"
    }
  }
}
