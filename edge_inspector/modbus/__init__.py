"""Modbus TCP: the connection that link and encoder each own one of."""
