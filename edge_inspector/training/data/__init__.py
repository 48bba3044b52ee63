"""What nets learn from and are judged on."""
