"""A camera driver in a process of its own: it receives, unpacks and looks at pictures outside the judging interpreter.

The pixels lie in memory that both processes share. About a hundred bytes for each picture go through a socket.
"""
