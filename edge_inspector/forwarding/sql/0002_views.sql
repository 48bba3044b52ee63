-- The questions that plants ask. `at` is when a part was decided: by the station's clock, but never after it came here.

CREATE VIEW judged AS
SELECT p.*, s.name AS station, coalesce(r.name, p.recipe_id::text) AS product, least(p.utc, p.received) AS at
FROM parts p
JOIN stations s USING (station_id)
LEFT JOIN products r USING (station_id, recipe_id);

-- Yield by product, station and day.
CREATE VIEW yield_by_product AS
SELECT date_trunc('day', at) AS day, product, station,
    count(*) AS parts,
    count(*) FILTER (WHERE decision = 'ACCEPT') AS accepted,
    count(*) FILTER (WHERE decision = 'REJECT') AS rejected,
    count(*) FILTER (WHERE decision = 'NOT_INSPECTED') AS not_inspected,
    count(*) FILTER (WHERE decision = 'ACCEPT')::double precision / count(*) AS yield
FROM judged
GROUP BY 1, 2, 3;

-- Classes of defects by station, product and day. A part with two cracks counts as one part and two defects.
CREATE VIEW pareto AS
SELECT date_trunc('day', at) AS day, station, product, d.defect_class,
    count(*) AS parts,
    sum(d.defects)::bigint AS defects,
    sum(d.area_mm2) AS area_mm2
FROM judged
JOIN (
    SELECT station_id, boot_id, seq, defect_class, count(*) AS defects, sum(area_mm2) AS area_mm2
    FROM defects
    GROUP BY 1, 2, 3, 4
) d USING (station_id, boot_id, seq)
GROUP BY 1, 2, 3, 4;

-- What people last said of each view, and of the whole part where the camera is empty.
CREATE VIEW last_labels AS
SELECT DISTINCT ON (station_id, boot_id, seq, camera) *
FROM labels
ORDER BY station_id, boot_id, seq, camera, number DESC;

-- Escapes found later: parts that a station accepted, and of which a person last said that they are defective.
CREATE VIEW escapes AS
SELECT p.station, p.product, p.at, p.part_seq, p.boot_id, p.seq, l.camera, l.defect_class, l.person, l.utc AS found,
    least(l.utc, l.received) - p.at AS after
FROM last_labels l
JOIN judged p USING (station_id, boot_id, seq)
WHERE p.decision = 'ACCEPT' AND l.label = 'defect';

-- Where the pictures of a part are.
CREATE VIEW pictures AS
SELECT p.station, p.at, p.part_seq, p.boot_id, p.seq, v.camera, v.picture,
    nullif(s.pictures_url, '') || v.picture AS url
FROM views v
JOIN judged p USING (station_id, boot_id, seq)
JOIN stations s USING (station_id)
WHERE v.picture <> '';

-- Which station sends, and how far it is behind.
CREATE VIEW senders AS
SELECT name AS station, seen, now() - seen AS silent, waiting, lost, clock_ahead_s
FROM stations;
