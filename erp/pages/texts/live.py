"""What the page of live sales says."""

TEXTS: dict[str, dict[str, str]] = {
    "live_title": {"es": "Ventas en vivo", "en": "Live sales"},
    "live_empty": {"es": "Todavía no hay ninguna venta", "en": "There is no sale yet"},
    "live_empty_hint": {
        "es": "Envía ventas con `python erp_simulator_producer.py` y guárdalas con"
        " `python erp_kafka_to_mongo.py`; `make demo` hace las dos cosas. Esta página lo vuelve a"
        " mirar sola cada {seconds} segundos.",
        "en": "Send sales with `python erp_simulator_producer.py` and store them with"
        " `python erp_kafka_to_mongo.py`; `make demo` does both. This page looks again by itself"
        " every {seconds} seconds.",
    },
    "live_period": {"es": "Periodo", "en": "Period"},
    "live_today": {"es": "Hoy, según los datos", "en": "Today, by the data"},
    "live_minutes": {"es": "Últimos minutos de datos", "en": "Last minutes of data"},
    "live_week": {"es": "Últimos 7 días de datos", "en": "Last 7 days of data"},
    "live_range": {"es": "Entre dos fechas", "en": "Between two dates"},
    "live_how_many": {"es": "Minutos", "en": "Minutes"},
    "live_from": {"es": "Desde", "en": "From"},
    "live_to": {"es": "Hasta", "en": "To"},
    "live_too_long": {
        "es": "Se muestran los últimos 7 días del periodo. Para periodos más largos está la página"
        " de histórico.",
        "en": "The last 7 days of the period are shown. The history page is for longer ones.",
    },
    "live_all_payments": {"es": "Todas las formas de pago", "en": "All payments"},
    "live_least": {"es": "Importe mínimo", "en": "Least amount"},
    "live_most": {"es": "Importe máximo", "en": "Largest amount"},
    "live_any": {"es": "cualquiera", "en": "any"},
    "live_compare": {"es": "Comparar con", "en": "Compare with"},
    "live_yesterday": {"es": "el día anterior", "en": "the day before"},
    "live_last_week": {"es": "hace 7 días", "en": "7 days before"},
    "live_on": {"es": "En vivo", "en": "Live"},
    "live_away": {
        "es": "MongoDB no responde en {address}: se muestra lo último que se leyó, a las {time}."
        " La página sigue intentándolo sola.",
        "en": "MongoDB does not answer at {address}: what was last read is shown, at {time}. The"
        " page keeps trying by itself.",
    },
    "live_away_short": {"es": "Sin conexión", "en": "Not connected"},
    "live_newest": {"es": "Última venta: {moment}", "en": "Newest sale: {moment}"},
    "live_arrived": {"es": "llegó {ago}", "en": "arrived {ago}"},
    "live_replay": {"es": "reloj de los datos", "en": "the data's clock"},
    "live_replay_help": {
        "es": "Las ventas son de otra fecha: «hoy» y «últimos minutos» cuentan desde la venta más"
        " nueva.",
        "en": "The sales are of another date: “today” and “last minutes” count from the newest"
        " sale.",
    },
    "live_stored": {"es": "ventas guardadas: {n}", "en": "sales stored: {n}"},
    "live_new": {"es": "+{n} desde la última lectura", "en": "+{n} since the last reading"},
    "live_day": {
        "es": "{day}, de {start} a {end}, frente a las mismas horas del {before}",
        "en": "{day}, {start} to {end}, against the same hours of {before}",
    },
    "live_sales_amount": {"es": "Ventas del día", "en": "Sales of the day"},
    "live_tickets": {"es": "Tickets", "en": "Tickets"},
    "live_average": {"es": "Ticket medio", "en": "Average ticket"},
    "live_customers": {"es": "Clientes distintos", "en": "Distinct customers"},
    "live_lines": {"es": "Líneas por ticket", "en": "Lines per ticket"},
    "live_before": {"es": "Antes: {value}", "en": "Before: {value}"},
    "live_window": {
        "es": "{start} – {end}: {amount}, tickets: {tickets}",
        "en": "{start} – {end}: {amount}, tickets: {tickets}",
    },
    "live_by_hour": {"es": "Ventas por hora y tienda", "en": "Sales per hour and store"},
    "live_measure": {"es": "Medida", "en": "Measure"},
    "live_amount": {"es": "Importe", "en": "Amount"},
    "live_others": {"es": "Otras {n} tiendas", "en": "{n} other stores"},
    "live_store": {"es": "Tienda {name}", "en": "Store {name}"},
    "live_no_payment": {"es": "Sin forma de pago", "en": "No payment"},
    "live_rate": {"es": "Tickets por minuto", "en": "Tickets per minute"},
    "live_rate_point": {"es": "{n} por minuto", "en": "{n} per minute"},
    "live_nothing": {
        "es": "Ninguna venta cumple los filtros en este periodo.",
        "en": "No sale matches the filters in this period.",
    },
    "live_newest_sales": {"es": "Ventas más nuevas", "en": "Newest sales"},
    "live_click": {
        "es": "Selecciona una fila para abrir la venta.",
        "en": "Select a row to open the sale.",
    },
    "live_time": {"es": "Hora", "en": "Time"},
    "live_total": {"es": "Total", "en": "Total"},
    "live_lines_n": {"es": "Líneas", "en": "Lines"},
    "live_sale_title": {"es": "Venta", "en": "Sale"},
    "live_sale_unknown": {
        "es": "No hay ninguna venta {sale}.",
        "en": "There is no sale {sale}.",
    },
    "live_sale_away": {
        "es": "MongoDB no responde; cierra y vuelve a abrir la venta.",
        "en": "MongoDB does not answer; close the sale and open it again.",
    },
    "live_no_lines": {
        "es": "Las líneas de esta venta aún no han llegado.",
        "en": "The lines of this sale have not come yet.",
    },
    "live_basket": {"es": "Productos comprados", "en": "Products bought"},
    "live_unit_price": {"es": "Precio", "en": "Price"},
    "live_discount": {"es": "Descuento", "en": "Discount"},
    "live_gross": {"es": "Bruto", "en": "Gross"},
    "live_tax": {"es": "Impuestos", "en": "Tax"},
    "live_net": {"es": "Neto", "en": "Net"},
    "live_recommended": {
        "es": "Recomendaciones para esta venta",
        "en": "Recommended for this sale",
    },
    "live_not_recommended": {
        "es": "Esta venta no tiene recomendaciones todavía.",
        "en": "This sale has no recommendations yet.",
    },
    "live_rank": {"es": "Puesto", "en": "Rank"},
    "live_confidence": {"es": "Confianza", "en": "Confidence"},
    "live_relevance": {"es": "Relevancia", "en": "Relevance"},
    "live_source": {"es": "Origen", "en": "Source"},
    "live_because": {"es": "Porque lleva", "en": "Because of"},
}
