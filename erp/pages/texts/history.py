"""What the history page says."""

TEXTS: dict[str, dict[str, str]] = {
    "history_title": {"es": "Historia de ventas", "en": "Sales history"},
    "history_empty": {
        "es": "Todavía no hay nada que mostrar",
        "en": "There is nothing to show yet",
    },
    "history_empty_hint": {
        "es": "Esta página lee los resúmenes. Con ventas en MongoDB, calcúlalos con"
        " `python mongo_data_processor_completo.py --once` (o `--watch 60` para tenerlos al día)."
        " Si aún no hay ventas, empieza por `make up` y `python erp_simulator_producer.py`. La"
        " página mira de nuevo cada {seconds} segundos.",
        "en": "This page reads the summaries. With sales in MongoDB, compute them with"
        " `python mongo_data_processor_completo.py --once` (or `--watch 60` to keep them fresh)."
        " If there are no sales yet, begin with `make up` and `python erp_simulator_producer.py`."
        " The page looks again every {seconds} seconds.",
    },
    "history_no_match": {
        "es": "Ninguna venta cumple estos filtros. Quita alguno o elige otro periodo.",
        "en": "No sale matches these filters. Remove one or choose another period.",
    },
    "fresh_note": {
        "es": "Calculado {ago} · ventas hasta el {until}",
        "en": "Computed {ago} · sales up to {until}",
    },
    "stale_note": {
        "es": "MongoDB no responde: se muestra lo último que se leyó. La página sigue"
        " intentándolo.",
        "en": "MongoDB does not answer: this is what was read last. The page keeps trying.",
    },
    "orphan_note": {
        "es": "{lines} líneas esperan a su venta y aún no cuentan.",
        "en": "{lines} lines wait for their sale and do not count yet.",
    },
    # filters
    "period": {"es": "Periodo", "en": "Period"},
    "year": {"es": "Año", "en": "Year"},
    "month": {"es": "Mes", "en": "Month"},
    "range": {"es": "Desde – hasta", "en": "From – to"},
    "every": {"es": "Todos", "en": "All"},
    "last_days": {"es": "{days} días", "en": "{days} days"},
    "whole_period": {"es": "Todo", "en": "All"},
    "shortcut": {"es": "Hasta el último día", "en": "Up to the last day"},
    "choose_stores": {"es": "Todas las tiendas", "en": "All stores"},
    "choose_categories": {"es": "Todas las categorías", "en": "All categories"},
    "choose_payments": {"es": "Todas las formas de pago", "en": "All payment types"},
    "choose_products": {"es": "Todos los productos", "en": "All products"},
    "filter_hint": {
        "es": "También puedes pulsar una tienda, una categoría o un producto en los gráficos. La"
        " dirección de la página guarda los filtros: cópiala para compartir la vista.",
        "en": "You can also click a store, a category or a product in the charts. The page's"
        " address keeps the filters: copy it to share the view.",
    },
    "lines_only": {
        "es": "Con filtro de categoría o producto cuentan solo esas líneas, sin descuentos de"
        " cabecera.",
        "en": "With a category or product filter only those lines count, without header discounts.",
    },
    # key figures
    "net_sales": {"es": "Ventas netas", "en": "Net sales"},
    "tickets": {"es": "Tickets", "en": "Tickets"},
    "average_ticket": {"es": "Ticket medio", "en": "Average ticket"},
    "units": {"es": "Unidades", "en": "Units"},
    "buyers": {"es": "Clientes distintos", "en": "Distinct customers"},
    "discount": {"es": "Descuento", "en": "Discount"},
    "discount_share": {"es": "Descuento sobre bruto", "en": "Discount of gross"},
    "compared": {
        "es": "Cambios frente al periodo anterior: {first} – {last}.",
        "en": "Changes against the period before: {first} – {last}.",
    },
    "not_compared": {
        "es": "Sin periodo anterior completo con el que comparar.",
        "en": "There is no complete period before to compare with.",
    },
    # charts
    "trend": {"es": "Evolución", "en": "Trend"},
    "by": {"es": "Por", "en": "By"},
    "measure": {"es": "Medida", "en": "Measure"},
    "step_day": {"es": "Día", "en": "Day"},
    "step_week": {"es": "Semana", "en": "Week"},
    "step_month": {"es": "Mes", "en": "Month"},
    "moving_day": {"es": "Media de 7 días", "en": "7-day average"},
    "moving_week": {"es": "Media de 4 semanas", "en": "4-week average"},
    "moving_month": {"es": "Media de 3 meses", "en": "3-month average"},
    "week_of": {"es": "Semana del {day}", "en": "Week of {day}"},
    "store_ranking": {"es": "Tiendas que más venden", "en": "Best-selling stores"},
    "top_of": {"es": "{shown} de {total}", "en": "{shown} of {total}"},
    "pareto": {"es": "Pareto de tiendas", "en": "Store Pareto"},
    "pareto_note": {
        "es": "{stores} de {total} tiendas ({share}) hacen el 80 % de las ventas.",
        "en": "{stores} of {total} stores ({share}) make 80% of the sales.",
    },
    "category_tiles": {"es": "Categorías", "en": "Categories"},
    "subcategory_tiles": {"es": "Subcategorías", "en": "Subcategories"},
    "tiles_note": {
        "es": "Las {shown} mayores de {total}: {share} de las ventas",
        "en": "The largest {shown} of {total}: {share} of the sales",
    },
    "top_products": {"es": "Productos que más venden", "en": "Best-selling products"},
    "payment_split": {"es": "Formas de pago", "en": "Payment types"},
    "week_heat": {"es": "Cuándo se compra", "en": "When people buy"},
    "hour_of": {"es": "{weekday}, {hour} h", "en": "{weekday}, {hour}:00"},
    "ticket_sizes": {"es": "Tamaño de los tickets", "en": "Ticket sizes"},
    "below_zero": {"es": "< 0", "en": "< 0"},
    "segments": {"es": "Segmentos de clientes (RFM)", "en": "Customer segments (RFM)"},
    "top_customers": {"es": "Mejores clientes", "en": "Top customers"},
    "click_note": {"es": "Pulsa para filtrar", "en": "Click to filter"},
    "days": {"es": "Días", "en": "Days"},
    "subcategories": {"es": "Subcategorías", "en": "Subcategories"},
    "first_rows": {
        "es": "Se ven las primeras {shown} filas de {total}; el archivo las lleva todas.",
        "en": "The first {shown} rows of {total} are shown; the file has all of them.",
    },
    "segment_champions": {"es": "Campeones", "en": "Champions"},
    "segment_loyal": {"es": "Fieles", "en": "Loyal"},
    "segment_potential_loyalists": {"es": "Casi fieles", "en": "Potential loyalists"},
    "segment_new": {"es": "Nuevos", "en": "New"},
    "segment_promising": {"es": "Prometedores", "en": "Promising"},
    "segment_need_attention": {"es": "Piden atención", "en": "Need attention"},
    "segment_about_to_sleep": {"es": "A punto de dormirse", "en": "About to sleep"},
    "segment_cannot_lose": {"es": "No se pueden perder", "en": "Cannot lose them"},
    "segment_at_risk": {"es": "En riesgo", "en": "At risk"},
    "segment_hibernating": {"es": "Dormidos", "en": "Hibernating"},
    "segment_lost": {"es": "Perdidos", "en": "Lost"},
    # columns
    "rank": {"es": "Puesto", "en": "Rank"},
    "share": {"es": "Cuota", "en": "Share"},
    "cumulative": {"es": "Acumulado", "en": "Cumulative"},
    "change": {"es": "Cambio", "en": "Change"},
    "lines": {"es": "Líneas", "en": "Lines"},
    "margin": {"es": "Margen", "en": "Margin"},
    "margin_share": {"es": "Margen %", "en": "Margin %"},
    "name": {"es": "Nombre", "en": "Name"},
    "segment": {"es": "Segmento", "en": "Segment"},
    "recency": {"es": "Días sin comprar", "en": "Days since"},
    "last_purchase": {"es": "Última compra", "en": "Last purchase"},
    "first_purchase": {"es": "Primera compra", "en": "First purchase"},
    "favourite_category": {"es": "Categoría favorita", "en": "Favourite category"},
    "favourite_store": {"es": "Tienda favorita", "en": "Favourite store"},
    "product_id": {"es": "Código", "en": "Code"},
    "start": {"es": "Desde el día", "en": "From day"},
    # Excel
    "view_sheet": {"es": "Vista", "en": "View"},
    "file_history": {"es": "historia", "en": "history"},
    "computed_at": {"es": "Calculado", "en": "Computed"},
    "up_to_sale": {"es": "Última venta", "en": "Newest sale"},
    "currency_row": {"es": "Moneda", "en": "Currency"},
    "timezone_row": {"es": "Zona horaria", "en": "Time zone"},
}
