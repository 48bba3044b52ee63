"""A PLC as it is: values anywhere in its memory, without a function block of ours."""
