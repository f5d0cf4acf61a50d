"""The coordinator's rounds, and how the contributions of one become one."""
