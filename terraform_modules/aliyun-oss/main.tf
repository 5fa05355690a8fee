resource "alicloud_oss_bucket" "this" {
  bucket          = var.bucket
  storage_class   = var.storage_class
  redundancy_type = var.redundancy_type
  tags            = var.tags

  # The provider has no resource of its own for lifecycle rules.
  dynamic "lifecycle_rule" {
    for_each = var.lifecycle_rules

    content {
      id      = lifecycle_rule.value.id
      prefix  = lifecycle_rule.value.prefix
      enabled = true

      dynamic "transitions" {
        for_each = lifecycle_rule.value.to_ia_after_days == null ? [] : [lifecycle_rule.value.to_ia_after_days]

        content {
          days          = transitions.value
          storage_class = "IA"
        }
      }

      dynamic "expiration" {
        for_each = lifecycle_rule.value.expire_after_days == null ? [] : [lifecycle_rule.value.expire_after_days]

        content {
          days = expiration.value
        }
      }
    }
  }

  lifecycle {
    # These have resources of their own below; two owners would undo each other.
    ignore_changes = [acl, versioning, server_side_encryption_rule]
  }
}

resource "alicloud_oss_bucket_acl" "this" {
  bucket = alicloud_oss_bucket.this.bucket
  acl    = var.acl
}

resource "alicloud_oss_bucket_public_access_block" "this" {
  bucket              = alicloud_oss_bucket.this.bucket
  block_public_access = var.acl == "private"

  depends_on = [alicloud_oss_bucket_acl.this]
}

resource "alicloud_oss_bucket_versioning" "this" {
  count = var.versioning ? 1 : 0

  bucket = alicloud_oss_bucket.this.bucket
  status = "Enabled"
}

resource "alicloud_oss_bucket_server_side_encryption" "this" {
  bucket            = alicloud_oss_bucket.this.bucket
  sse_algorithm     = var.kms_key_id == null ? "AES256" : "KMS"
  kms_master_key_id = var.kms_key_id
}
