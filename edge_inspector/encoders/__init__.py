"""Sources of the belt's position that are no PLC."""
