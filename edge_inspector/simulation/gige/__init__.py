"""A GigE Vision camera over the simulated line: its own process, the real protocol over UDP.

registers  the data of the camera: bootstrap registers and GenICam features, in one table
genapi     the same table as the GenICam XML that clients download
control    GVCP: discovery, register access, control privilege, heartbeat, resend requests
stream     GVSP: a frame as packets, paced, some of them lost on purpose
scene      the parts under the lens, and the encoder's count
formats    the picture as bytes
triggers   what starts a frame, and a row of it
camera     exposures, chunks
processes  one such process per camera of the demo
"""
