-- What all stations of a plant found. A part is named by its station, the run of the daemon and its number in that run.
-- Times are UTC. `utc` is by the station's clock, `received` by the clock of this server.

CREATE TABLE stations (
    station_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    identity text NOT NULL UNIQUE,          -- of its state folder: a second station of this name has another one
    pictures_url text NOT NULL DEFAULT '',
    -- the position: the last row of the station's own tables that is here, and the time in it
    part_id bigint NOT NULL DEFAULT 0,
    part_us bigint NOT NULL DEFAULT 0,
    label_id bigint NOT NULL DEFAULT 0,
    label_us bigint NOT NULL DEFAULT 0,
    waiting bigint NOT NULL DEFAULT 0,      -- parts that the station still had to send
    lost bigint NOT NULL DEFAULT 0,         -- parts that the station had to delete before it could send them
    clock_ahead_s double precision,         -- how far the station's clock was ahead of this server's
    seen timestamptz
);

CREATE TABLE products (
    station_id integer NOT NULL REFERENCES stations,
    recipe_id bigint NOT NULL,
    name text NOT NULL,
    PRIMARY KEY (station_id, recipe_id)
);

CREATE TABLE parts (
    station_id integer NOT NULL REFERENCES stations,
    boot_id bigint NOT NULL,
    seq bigint NOT NULL,
    part_seq bigint NOT NULL,               -- the PLC's number of the part
    utc timestamptz NOT NULL,
    received timestamptz NOT NULL DEFAULT now(),
    decision text NOT NULL,                 -- ACCEPT, REJECT, NOT_INSPECTED
    reason text NOT NULL,
    grade text NOT NULL,
    late boolean NOT NULL,
    review boolean NOT NULL,
    recipe_id bigint NOT NULL,
    recipe_hash text NOT NULL,
    criteria text NOT NULL,
    model text NOT NULL,
    latency_ms double precision,
    error_mm double precision,
    PRIMARY KEY (station_id, boot_id, seq)
);
CREATE INDEX parts_by_time ON parts ((least(utc, received)), station_id);

-- `picture` is a path below the station's folder of pictures. It may not exist any more.
CREATE TABLE views (
    station_id integer NOT NULL,
    boot_id bigint NOT NULL,
    seq bigint NOT NULL,
    camera text NOT NULL,
    failure text NOT NULL,
    doubtful boolean NOT NULL,
    picture text NOT NULL,
    PRIMARY KEY (station_id, boot_id, seq, camera),
    FOREIGN KEY (station_id, boot_id, seq) REFERENCES parts ON DELETE CASCADE
);

CREATE TABLE defects (
    station_id integer NOT NULL,
    boot_id bigint NOT NULL,
    seq bigint NOT NULL,
    number integer NOT NULL,
    camera text NOT NULL,
    defect_class text NOT NULL,
    area_mm2 double precision,
    length_mm double precision,
    confidence double precision,
    x_mm double precision,
    y_mm double precision,
    PRIMARY KEY (station_id, boot_id, seq, number),
    FOREIGN KEY (station_id, boot_id, seq) REFERENCES parts ON DELETE CASCADE
);

-- What people said of a part, at any time after it. The last one counts. An empty camera means the whole part.
CREATE TABLE labels (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    station_id integer NOT NULL REFERENCES stations,
    boot_id bigint NOT NULL,
    seq bigint NOT NULL,
    camera text NOT NULL,
    utc timestamptz NOT NULL,
    received timestamptz NOT NULL DEFAULT now(),
    label text NOT NULL,                    -- good, defect, unsure
    defect_class text NOT NULL,
    person text NOT NULL,
    UNIQUE (station_id, boot_id, seq, camera, utc, label, defect_class, person)
);

CREATE TABLE events (
    station_id integer NOT NULL REFERENCES stations,
    begun timestamptz NOT NULL,
    code bigint NOT NULL,
    subject text NOT NULL,
    name text NOT NULL,
    why text NOT NULL,
    fault boolean NOT NULL,
    ended timestamptz,
    recipe_id bigint NOT NULL,
    parts bigint NOT NULL,
    rejected bigint NOT NULL,
    not_inspected bigint NOT NULL,
    acknowledged_by text,
    acknowledged timestamptz,
    PRIMARY KEY (station_id, begun, code, subject)
);
