"""irp_hf"""
